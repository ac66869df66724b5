// Tektelic room sensors (T00048xx), port 10: a row of values, each behind a channel and a type, most significant octet
// first. From the maker's technical reference manual and a published message.
function decodeUplink(input) {
  if (input.fPort !== 10) return { data: {}, warnings: ["port " + input.fPort + " carries no measurements"] };
  var message = Buffer.from(input.bytes), data = {};
  for (var at = 0; at < message.length; ) {
    var key = message.toString("hex", at, at + 2);
    at += 2;
    switch (key) {
      case "0367": data.ambient_temperature = message.readInt16BE(at) / 10; at += 2; break;
      case "0468": data.relative_humidity = message.readUInt8(at) / 2; at += 1; break;
      case "0b67": data.mcu_temperature = message.readInt16BE(at) / 10; at += 2; break;
      case "00ff": data.battery_voltage = message.readInt16BE(at) / 100; at += 2; break;
      default: return { data: data, warnings: ["unknown channel " + key + "; the rest is left out"] };
    }
  }
  return { data: data };
}
