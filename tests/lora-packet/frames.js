// Builds and opens LoRaWAN frames with lora-packet for the tests: a question as JSON on each line, an answer on each.
"use strict";
const lora = require("lora-packet");
const readline = require("node:readline");

const hex = (text) => Buffer.from(text, "hex");
const number = (value, bytes) => {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value, 0, bytes);
  return buffer;
};

const operations = {
  join_request({ app_key, join_eui, dev_eui, dev_nonce }) {
    const fields = { MType: "Join Request", AppEUI: hex(join_eui), DevEUI: hex(dev_eui), DevNonce: number(dev_nonce, 2) };
    return { phy: lora.fromFields(fields, null, null, hex(app_key)).PHYPayload.toString("hex") };
  },

  open_accept({ app_key, phy, dev_nonce }) {
    const key = hex(app_key);
    const plain = lora.fromWire(lora.decryptJoinAccept(lora.fromWire(hex(phy)), key));
    const keys = lora.generateSessionKeys10(key, plain.NetID, plain.AppNonce, number(dev_nonce, 2));
    return {
      mic_ok: lora.verifyMIC(plain, null, key),
      dev_addr: plain.DevAddr.toString("hex"),
      net_id: plain.NetID.toString("hex"),
      join_nonce: plain.AppNonce.readUIntBE(0, 3),
      rx_delay_s: plain.getRxDelayDel(),
      fourth_channel: plain.getCFListFreqChFour().readUIntBE(0, 3),
      nwk_s_key: keys.NwkSKey.toString("hex"),
      app_s_key: keys.AppSKey.toString("hex"),
    };
  },

  uplink({ dev_addr, nwk_s_key, app_s_key, f_cnt, f_port, payload, f_opts, confirmed, ack, adr, adr_ack_req }) {
    const fields = {
      MType: confirmed ? "Confirmed Data Up" : "Unconfirmed Data Up",
      DevAddr: hex(dev_addr),
      FCnt: number(f_cnt & 0xffff, 2),
      FCtrl: { ADR: adr || adr_ack_req, ADRACKReq: adr_ack_req, ACK: ack, FPending: false },
      FOpts: hex(f_opts),
      FPort: f_port,
      payload: hex(payload),
    };
    const upper = number(f_cnt >>> 16, 2).reverse();
    return { phy: lora.fromFields(fields, hex(app_s_key), hex(nwk_s_key), null, upper).PHYPayload.toString("hex") };
  },

  open_downlink({ nwk_s_key, app_s_key, phy }) {
    const frame = lora.fromWire(hex(phy));
    const port = frame.getFPort();
    return {
      kind: frame.getMType(),
      dev_addr: frame.DevAddr.toString("hex"),
      f_cnt: frame.getFCnt(),
      ack: frame.getFCtrlACK(),
      f_pending: frame.getFCtrlFPending(),
      f_opts: frame.FOpts.toString("hex"),
      f_port: port,
      payload: port === null ? "" : lora.decrypt(frame, hex(app_s_key), hex(nwk_s_key)).toString("hex"),
      mic_ok: lora.verifyMIC(frame, hex(nwk_s_key)),
    };
  },
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  let answer;
  try {
    const question = JSON.parse(line);
    answer = operations[question.what](question);
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
