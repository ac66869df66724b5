// Decentlab DL-PR21 of -1 to 10 bar, protocol 2: version, device id, a bit for each group of values that follows, then the
// groups in 16-bit words, most significant octet first. From the conversions in the maker's data sheet and published
// messages. Each value: name, label, unit, what the words mean.
var signed = function (word) { return word - 32768; };
var battery = [["battery_voltage", "Battery voltage", "V", function (w) { return w[0] / 1000; }]];
var groups = [
  {
    words: 2,
    values: [
      ["pressure", "Pressure", "bar", function (w) { return ((w[0] - 16384) / 32768) * 11 - 1; }],
      ["temperature", "Temperature", "°C", function (w) { return (w[1] - 384) * 0.003125 - 50; }],
    ],
  },
  { words: 1, values: battery },
];

function decodeUplink(input) {
  var message = Buffer.from(input.bytes);
  var version = message.readUInt8(0);
  if (version !== 2) return { errors: ["protocol " + version + ", where 2 is known"] };
  var flags = message.readUInt16BE(3), at = 5;
  var data = { protocol_version: version, device_id: message.readUInt16BE(1) };
  groups.forEach(function (group, bit) {
    if (!(flags & (1 << bit))) return;
    var words = [];
    for (var i = 0; i < group.words; i++, at += 2) words.push(message.readUInt16BE(at));
    group.values.forEach(function (value) {
      data[value[0]] = { displayName: value[1], value: value[3](words) };
      if (value[2]) data[value[0]].unit = value[2];
    });
  });
  return { data: data };
}
