// Alpha-Omega Klax: reads an electricity meter's SML by its optical port; a message has a head of four octets and parts.
// Worked out from the maker's payload description and a published message. Registers are four values a quarter of an
// hour apart, the newest first; which register of the meter each filter takes is set in the device.
var meters = ["SML", "IEC 62056-21 Mode B", "IEC 62056-21 Mode C", "Logarex"];
var units = ["NDEF", "Wh", "W", "V", "A", "Hz", "varh", "var", "VAh", "VA"];

function register(message, at, filter, unit) {
  var values = [];
  for (var i = 0; i < 4; i++) values.push(message.readInt32BE(at + 4 * i));
  return { filterId: (filter >> 1) & 3, dataValid: (filter & 8) !== 0, unit: units[unit] || "unknown", values: values };
}

function decodeUplink(input) {
  var message = Buffer.from(input.bytes);
  if (message.readUInt8(0) !== 0) return { errors: ["a head of another version than 0"] };
  var about = message.readUInt8(1), count = message.readUInt8(3);
  var data = {
    header: {
      version: 0,
      batteryPerc: (about & 15) * 10,
      meterType: meters[(about >> 4) & 3],
      configured: (about & 0x40) !== 0,
      connTest: (about & 0x80) !== 0,
      deviceType: "SML Klax",
    },
    msgInfo: { msgIdx: message.readUInt8(2), msgCnt: count & 15, msgNum: count >> 4 },
    type: "app",
    payloads: [],
  };
  for (var at = 4; at < message.length; ) {
    var kind = message.readUInt8(at++);
    if (kind === 3) {
      data.payloads.push({ type: "serverID", id: message.toString("hex", at, at + 10) });
      at += 10;
    } else if (kind === 1) {
      var filters = message.readUInt8(at), unit = message.readUInt8(at + 1);
      var two = [register(message, at + 2, filters & 15, unit & 15), register(message, at + 18, filters >> 4, unit >> 4)];
      data.payloads.push({ type: "historic", registers: two });
      at += 34;
    } else {
      return { data: data, warnings: ["unknown part " + kind + "; the rest is left out"] };
    }
  }
  return { data: data };
}
