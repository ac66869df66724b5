// Dragino LHT65: eleven octets on port 2, most significant first. From the maker's manual and a published message.
function decodeUplink(input) {
  if (input.fPort !== 2) return { errors: ["unknown FPort"] };
  var message = Buffer.from(input.bytes);
  var battery = message.readUInt16BE(0), kind = message.readUInt8(6) & 0x7f;
  var data = {
    BatV: (battery & 0x3fff) / 1000,
    Bat_status: battery >> 14,
    TempC_SHT: message.readInt16BE(2) / 100,
    Hum_SHT: message.readUInt16BE(4) / 10,
  };
  if (kind === 1) {
    var probe = message.readInt16BE(7);
    data.Ext_sensor = "Temperature Sensor";
    data.TempC_DS = probe === 0x7fff ? null : probe / 100; // none is plugged in
  }
  return { data: data };
}

// 01: seconds between two messages, three octets
function encodeDownlink(input) {
  var seconds = input.data.interval;
  return { bytes: [1, (seconds >> 16) & 255, (seconds >> 8) & 255, seconds & 255], fPort: 2 };
}
