// Decentlab DL-IAM, protocol 2: version, device id, a bit for each group of values that follows, then the
// groups in 16-bit words, most significant octet first. From the conversions in the maker's data sheet and published
// messages. Each value: name, label, unit, what the words mean.
var signed = function (word) { return word - 32768; };
var battery = [["battery_voltage", "Battery voltage", "V", function (w) { return w[0] / 1000; }]];
var groups = [
  { words: 1, values: battery },
  {
    words: 2,
    values: [
      ["air_temperature", "Air temperature", "°C", function (w) { return (175 * w[0]) / 65535 - 45; }],
      ["air_humidity", "Air humidity", "%", function (w) { return (100 * w[1]) / 65535; }],
    ],
  },
  {
    words: 1,
    values: [
      ["barometric_pressure", "Barometric pressure", "Pa", function (w) { return w[0] * 2; }],
    ],
  },
  {
    words: 2,
    values: [
      ["ambient_light_visible_infrared", "Ambient light (visible + infrared)", null, function (w) { return w[0]; }],
      ["ambient_light_infrared", "Ambient light (infrared)", null, function (w) { return w[1]; }],
      ["illuminance", "Illuminance", "lx", function (w) { return 1.5504 * Math.max(0, w[0] - 1.64 * w[1], 0.59 * w[0] - 0.86 * w[1]); }],
    ],
  },
  {
    words: 3,
    values: [
      ["co2_concentration", "CO2 concentration", "ppm", function (w) { return signed(w[0]); }],
      ["co2_sensor_status", "CO2 sensor status", null, function (w) { return w[1]; }],
      ["raw_ir_reading", "Raw IR reading", null, function (w) { return w[2]; }],
    ],
  },
  {
    words: 1,
    values: [
      ["activity_counter", "Activity counter", null, function (w) { return w[0]; }],
    ],
  },
  {
    words: 1,
    values: [
      ["total_voc", "Total VOC", "ppb", function (w) { return w[0]; }],
    ],
  },
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
