// Elsys: a message is a row of values, each behind an octet that says what it is. Port 5 from the factory.
// Written from the layout in "Elsys payload" (elsys.se) as the catalogue of the domain has it; names as Elsys gives them.
var KINDS = {
  0x01: ["temperature", "i16", 10],
  0x02: ["humidity", "u8"],
  0x04: ["light", "u16"],
  0x05: ["motion", "u8"],
  0x06: ["co2", "u16"],
  0x07: ["vdd", "u16"],
  0x08: ["analog1", "u16"],
  0x0a: ["pulse1", "u16"],
  0x0b: ["pulseAbs", "u32"],
  0x0c: ["externalTemperature", "i16", 10],
  0x0d: ["digital", "u8"],
  0x0e: ["distance", "u16"],
  0x0f: ["accMotion", "u8"],
  0x11: ["occupancy", "u8"],
  0x12: ["waterleak", "u8"],
  0x14: ["pressure", "u32", 1000],
  0x16: ["pulse2", "u16"],
  0x17: ["pulseAbs2", "u32"],
  0x18: ["analog2", "u16"],
  0x19: ["externalTemperature2", "i16", 10],
  0x1a: ["digital2", "u8"],
  0x1b: ["analogUv", "i32"],
  0x1c: ["tvoc", "u16"],
};
var GROUPS = {
  0x03: [["x", "i8"], ["y", "i8"], ["z", "i8"]],
  0x10: [["irInternalTemperature", "i16", 10], ["irExternalTemperature", "i16", 10]],
  0x15: [["soundPeak", "u8"], ["soundAvg", "u8"]],
};
var SKIPPED = { 0x09: 6, 0x13: 65 }; // a position; a heat picture: neither is a measurement of the town's

var READ = { u8: "readUInt8", i8: "readInt8", u16: "readUInt16BE", i16: "readInt16BE", u32: "readUInt32BE", i32: "readInt32BE" };
var OCTETS = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4 };

function decodeUplink(input) {
  var message = Buffer.from(input.bytes);
  var data = {}, at = 0;
  function take(field) {
    var raw = message[READ[field[1]]](at);
    at += OCTETS[field[1]];
    data[field[0]] = field[2] ? raw / field[2] : raw;
  }
  while (at < message.length) {
    var kind = message[at++];
    if (SKIPPED[kind]) {
      at += SKIPPED[kind];
      continue;
    }
    var fields = GROUPS[kind] || (KINDS[kind] && [KINDS[kind]]);
    if (!fields) return { data: data, warnings: ["unknown kind of value 0x" + kind.toString(16) + "; the rest is left out"] };
    for (var i = 0; i < fields.length; i++) take(fields[i]);
  }
  return { data: data };
}
