// Dragino LSE01 soil sensor: eleven octets on port 2, most significant first. From the maker's manual.
function decodeUplink(input) {
  if (input.fPort !== 2) return { errors: ["unknown FPort"] };
  var message = Buffer.from(input.bytes);
  return {
    data: {
      Bat: (message.readUInt16BE(0) & 0x3fff) / 1000,
      TempC_DS18B20: message.readInt16BE(2) / 10,
      water_SOIL: message.readUInt16BE(4) / 100,
      temp_SOIL: message.readInt16BE(6) / 100,
      conduct_SOIL: message.readUInt16BE(8),
    },
  };
}

// 01: seconds between two messages, three octets
function encodeDownlink(input) {
  var seconds = input.data.interval;
  return { bytes: [1, (seconds >> 16) & 255, (seconds >> 8) & 255, seconds & 255], fPort: 2 };
}
