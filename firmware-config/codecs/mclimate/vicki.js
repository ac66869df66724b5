// MClimate Vicki radiator thermostat: the keep-alive, nine octets, the first of which tells the firmware's generation.
// From "Keep-alive" in the maker's description of the protocol and a published message.
var hundredths = function (number) { return Math.round(number * 100) / 100; };

function decodeUplink(input) {
  var message = Buffer.from(input.bytes), kind = message.readUInt8(0);
  if (kind !== 0x01 && kind !== 0x81) return { data: {}, warnings: ["a message of kind " + kind + " is no keep-alive"] };
  var raw = message.readUInt8(2), high = message.readUInt8(6), state = message.readUInt8(7);
  var position = ((high >> 4) << 8) | message.readUInt8(4), range = ((high & 15) << 8) | message.readUInt8(5);
  return {
    data: {
      reason: kind,
      targetTemperature: message.readUInt8(1),
      sensorTemperature: hundredths(kind === 0x01 ? (raw * 165) / 256 - 40 : (raw - 28.33333) / 5.66666),
      relativeHumidity: hundredths((message.readUInt8(3) * 100) / 256),
      motorPosition: position,
      motorRange: range,
      valveOpenness: range === 0 ? null : Math.max(0, Math.round((1 - position / range) * 100)),
      batteryVoltage: Math.round((2 + (state >> 4) * 0.1) * 10) / 10,
      openWindow: (state & 8) !== 0,
      highMotorConsumption: (state & 4) !== 0,
      lowMotorConsumption: (state & 2) !== 0,
      brokenSensor: (state & 1) !== 0,
      childLock: (message.readUInt8(8) & 0x80) !== 0,
    },
  };
}

// 02: minutes between two keep-alives; 0e: target temperature
function encodeDownlink(input) {
  if (input.data.keepAliveMinutes !== undefined) return { bytes: [0x02, input.data.keepAliveMinutes], fPort: 1 };
  return { bytes: [0x0e, input.data.targetTemperature], fPort: 1 };
}
