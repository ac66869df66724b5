// Decentlab DL-TRS12, protocol 2: version, device id, a bit for each group of values that follows, then the
// groups in 16-bit words, most significant octet first. From the conversions in the maker's data sheet and published
// messages. Each value: name, label, unit, what the words mean.
var signed = function (word) { return word - 32768; };
var battery = [["battery_voltage", "Battery voltage", "V", function (w) { return w[0] / 1000; }]];
var groups = [
  {
    words: 3,
    values: [
      ["dielectric_permittivity", "Dielectric permittivity", null, function (w) { return Math.pow(((2.887e-9 * (w[0] / 10) - 2.08e-5) * (w[0] / 10) + 5.276e-2) * (w[0] / 10) - 43.39, 2); }],
      ["volumetric_water_content", "Volumetric water content", "m³⋅m⁻³", function (w) { return (w[0] / 10) * 3.879e-4 - 0.6956; }],
      ["soil_temperature", "Soil temperature", "°C", function (w) { return signed(w[1]) / 10; }],
      ["electrical_conductivity", "Electrical conductivity", "µS⋅cm⁻¹", function (w) { return w[2]; }],
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
