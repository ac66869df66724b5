// Dragino LSN50v2 in its first working mode (I2C), port 2, most significant octet first. From the maker's manual.
function decodeUplink(input) {
  if (input.fPort !== 2) return { errors: ["unknown FPort"] };
  var message = Buffer.from(input.bytes);
  var status = message.readUInt8(6), mode = (status >> 2) & 0x1f;
  if (mode !== 0) return { errors: ["working mode " + (mode + 1) + ", where the codec knows the first alone"] };
  var temperature = message.readInt16BE(7), humidity = message.readUInt16BE(9);
  return {
    data: {
      Work_mode: "IIC",
      BatV: message.readUInt16BE(0) / 1000,
      TempC1: message.readInt16BE(2) / 10,
      ADC_CH0V: message.readUInt16BE(4) / 1000,
      Digital_IStatus: status & 2 ? "H" : "L",
      EXTI_Trigger: status & 1 ? "TRUE" : "FALSE",
      Door_status: status & 0x80 ? "CLOSE" : "OPEN",
      TempC_SHT: temperature === 0x7fff ? null : temperature / 10,
      Hum_SHT: humidity === 0xffff ? null : humidity / 10,
    },
  };
}
