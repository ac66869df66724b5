// Decentlab DL-ATM41, protocol 2: version, device id, a bit for each group of values that follows, then the
// groups in 16-bit words, most significant octet first. From the conversions in the maker's data sheet and published
// messages. Each value: name, label, unit, what the words mean.
var signed = function (word) { return word - 32768; };
var battery = [["battery_voltage", "Battery voltage", "V", function (w) { return w[0] / 1000; }]];
var groups = [
  {
    words: 17,
    values: [
      ["solar_radiation", "Solar radiation", "W⋅m⁻²", function (w) { return signed(w[0]); }],
      ["precipitation", "Precipitation", "mm", function (w) { return signed(w[1]) / 1000; }],
      ["lightning_strike_count", "Lightning strike count", null, function (w) { return signed(w[2]); }],
      ["lightning_average_distance", "Lightning average distance", "km", function (w) { return signed(w[3]); }],
      ["wind_speed", "Wind speed", "m⋅s⁻¹", function (w) { return signed(w[4]) / 100; }],
      ["wind_direction", "Wind direction", "°", function (w) { return signed(w[5]) / 10; }],
      ["maximum_wind_speed", "Maximum wind speed", "m⋅s⁻¹", function (w) { return signed(w[6]) / 100; }],
      ["air_temperature", "Air temperature", "°C", function (w) { return signed(w[7]) / 10; }],
      ["vapor_pressure", "Vapor pressure", "kPa", function (w) { return signed(w[8]) / 100; }],
      ["atmospheric_pressure", "Atmospheric pressure", "kPa", function (w) { return signed(w[9]) / 100; }],
      ["relative_humidity", "Relative humidity", "%", function (w) { return signed(w[10]) / 10; }],
      ["sensor_temperature_internal", "Sensor temperature (internal)", "°C", function (w) { return signed(w[11]) / 10; }],
      ["x_orientation_angle", "X orientation angle", "°", function (w) { return signed(w[12]) / 10; }],
      ["y_orientation_angle", "Y orientation angle", "°", function (w) { return signed(w[13]) / 10; }],
      ["compass_heading", "Compass heading", "°", function (w) { return signed(w[14]); }],
      ["north_wind_speed", "North wind speed", "m⋅s⁻¹", function (w) { return signed(w[15]) / 100; }],
      ["east_wind_speed", "East wind speed", "m⋅s⁻¹", function (w) { return signed(w[16]) / 100; }],
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
