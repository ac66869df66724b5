// MClimate CO2 sensor: the periodic message. From the maker's description of its protocol and a published message.
var hundredths = function (number) { return Math.round(number * 100) / 100; };

function decodeUplink(input) {
  var message = Buffer.from(input.bytes), kind = message.readUInt8(0);
  if (kind !== 1) return { data: {}, warnings: ["a message of kind " + kind + " is no measurement"] };
  return {
    data: {
      co2: message.readUInt16BE(1),
      temperature: (message.readUInt16BE(3) - 400) / 10,
      humidity: hundredths((message.readUInt8(5) * 100) / 256),
      battery: Math.round((message.readUInt8(6) * 8 + 1600) / 10) / 100,
    },
  };
}
