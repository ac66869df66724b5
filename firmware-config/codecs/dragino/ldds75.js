// Dragino LDDS75 distance sensor, port 2, most significant octet first. From the maker's manual: battery, distance;
// newer firmware adds an interrupt flag, a DS18B20 and a sensor flag.
function decodeUplink(input) {
  if (input.fPort !== 2) return { errors: ["unknown FPort"] };
  var message = Buffer.from(input.bytes);
  var distance = message.readUInt16BE(2);
  var data = { Bat: (message.readUInt16BE(0) & 0x3fff) / 1000 };
  data.distance = distance <= 20 ? null : distance; // 0: no probe; 20: nothing sensible was heard
  if (message.length >= 7) data.TempC_DS18B20 = message.readInt16BE(5) / 10;
  return { data: data };
}

// 01: seconds between two messages, three octets
function encodeDownlink(input) {
  var seconds = input.data.interval;
  return { bytes: [1, (seconds >> 16) & 255, (seconds >> 8) & 255, seconds & 255], fPort: 2 };
}
