// Adeunis Pulse: two counters. Frame 0x46, most significant octet first, from the maker's technical reference manual
// (Pulse V3 and V4): code, status, counter of channel A, counter of channel B.
function decodeUplink(input) {
  var message = Buffer.from(input.bytes), code = message.readUInt8(0);
  if (code !== 0x46) return { data: {}, warnings: ["a frame 0x" + code.toString(16) + " holds no counters"] };
  return {
    data: {
      lowBattery: (message.readUInt8(1) & 2) !== 0,
      counterA: message.readUInt32BE(2),
      counterB: message.readUInt32BE(6),
    },
  };
}
