// Milesight: a message is a row of values, each behind a channel and a type. Least significant octet first. Port 85.
// Written from the tables of channels in Milesight's user guides and product pages, and published messages.
var read = {
  u8: function (b, at) { return b.readUInt8(at); },
  u16: function (b, at) { return b.readUInt16LE(at); },
  i16: function (b, at) { return b.readInt16LE(at); },
  u32: function (b, at) { return b.readUInt32LE(at); },
  f32: function (b, at) { return b.readFloatLE(at); },
};
var octets = { u8: 1, u16: 2, i16: 2, u32: 4, f32: 4 };
var temperature = ["temperature", "i16", 10];
var humidity = ["humidity", "u8", 2];

// channel and type, as four hexadecimal digits -> name, kind, divisor of each value behind them
var known = {
  "0175": [["battery", "u8"]],
  "0367": [temperature],
  "0467": [["target_temperature", "i16", 10]],
  "0468": [humidity],
  "04ca": [["moisture_raw", "u16"]],
  "0382": [["distance", "u16"]],
  "056a": [["activity", "u16"]],
  "0500": [["pir", "u8"]],
  "05e1": [["water_conversion", "u16"], ["pulse_conversion", "u16"], ["water", "f32"]],
  "05c8": [["pulse", "u32"]],
  "057f": [["conductivity", "u16"]],
  "0584": [["wind_direction", "u16", 10]],
  "0592": [["valve_opening", "u8"]],
  "0600": [["contact", "u8"]],
  "0665": [["illumination", "u16"], ["infrared_and_visible", "u16"], ["infrared", "u16"]],
  "0673": [["pressure", "u16", 10]],
  "06cb": [["light_level", "u8"]],
  "077d": [["co2", "u16"]],
  "0792": [["wind_speed", "u16", 10]],
  "0700": [["window_open", "u8"]],
  "0877": [["rainfall_total", "u16", 100], ["rainfall_counter", "u8"]],
  "087d": [["tvoc", "u16"]],
  "08e5": [["motor_calibration", "u8"]],
  "0973": [["pressure", "u16", 10]],
  "0990": [["motor_stroke", "u16"]],
  "0a7d": [["hcho", "u16", 100]],
  "0a00": [["freeze_protection", "u8"]],
  "0b7d": [["pm25", "u16"]],
  "0b90": [["motor_position", "u16"]],
  "0c7d": [["pm10", "u16"]],
  "0d7d": [["o3", "u16", 100]],
  "0e01": [["beep", "u8"]],
  "83d7": [temperature, ["temperature_change", "i16", 10], ["temperature_alarm", "u8"]],
  "83e9": [["distance", "u16"], ["distance_change", "u16"], ["distance_alarm", "u8"]],
};
// what a device says of itself when it joins: octets to skip
var about = { ff01: 1, ff08: 6, ff09: 2, ff0a: 2, ff0b: 1, ff0f: 1, ff16: 8, ff18: 2, fffe: 1, ffff: 2 };
// samples of former times: what stands behind the time, by its length
var former = {
  2: [["distance", "u16"]],
  3: [temperature, humidity],
  4: [temperature, humidity, ["reserved", "u8"]],
  9: [temperature, humidity, ["gpio_type", "u8"], ["gpio", "u8"], ["pulse", "u32"]],
};

function values(message, at, fields, into) {
  fields.forEach(function (field) {
    var raw = read[field[1]](message, at);
    into[field[0]] = field[2] ? raw / field[2] : raw;
    at += octets[field[1]];
  });
  return at;
}

function decodeUplink(input) {
  var message = Buffer.from(input.bytes), data = {}, at = 0;
  while (at < message.length) {
    var key = message.toString("hex", at, at + 2);
    at += 2;
    if (key === "20ce") {
      var fields = former[message.length - at - 4];
      if (!fields) return { data: data, warnings: ["stored samples of unknown length; left out"] };
      var sample = { timestamp: message.readUInt32LE(at) };
      at = values(message, at + 4, fields, sample);
      data.history = (data.history || []).concat([sample]);
    } else if (known[key]) {
      at = values(message, at, known[key], data);
    } else if (about[key]) {
      at += about[key];
    } else {
      return { data: data, warnings: ["unknown channel " + key + "; the rest is left out"] };
    }
  }
  return { data: data };
}

// ff 03: seconds between two messages
function encodeDownlink(input) {
  var message = Buffer.alloc(4);
  message.writeUInt16BE(0xff03, 0);
  message.writeUInt16LE(input.data.report_interval, 2);
  return { bytes: Array.from(message), fPort: 85 };
}
