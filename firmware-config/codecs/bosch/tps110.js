// Bosch Parking Lot Sensor (TPS110): what a message is stands in its port. From the maker's communication interface
// description as others tell it, and published messages.
var reasons = { 1: "Watchdog", 2: "Power-on", 3: "System Request", 4: "Other" };

function debug(message, type) {
  return {
    type: type,
    timestamp: message.readUInt32BE(0),
    debug_code: message.readUInt16BE(6) & 0x0fff,
    sequence_number: message.readUInt16BE(8),
  };
}

function decodeUplink(input) {
  var message = Buffer.from(input.bytes), data;
  switch (input.fPort) {
    case 1:
      return { data: { type: "parking status", occupied: (message.readUInt8(0) & 1) === 1 } };
    case 2:
      return { data: { type: "heartbeat", occupied: (message.readUInt8(0) & 1) === 1, temperature: message.readInt8(1) } };
    case 3:
      data = debug(message, "startup");
      data.firmware_version = message.readUInt8(12) + "." + message.readUInt8(13) + "." + message.readUInt8(14);
      data.reset_cause = message.readUInt8(15);
      data.reset_reason = reasons[data.reset_cause] || "unknown";
      data.occupied = (message.readUInt8(16) & 1) === 1;
      return { data: data };
    case 5:
      if (message.readUInt8(0) === 1) {
        return { data: { type: "Time running in occupied state", time_in_seconds: message.readUInt32BE(1) } };
      }
      return { data: { type: "Number of parking status changes detected", parking_status_changes: message.readUInt32BE(1) } };
    case 6:
      return { data: debug(message, "debug") };
    default:
      return { errors: ["unknown FPort"] };
  }
}
