// What every codec finds around it, and how it is called. Evaluated in a context of its own, before the codec.
(function (global) {
  "use strict";
  const parse = JSON.parse, stringify = JSON.stringify, DateOf = Date, textOf = String;
  const MAX_RESULT = 65536;
  const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

  for (const name of ["SharedArrayBuffer", "Atomics", "WebAssembly", "performance", "scriptArgs", "gc"]) {
    delete global[name];
  }

  function toUtf8(text) {
    const bytes = [];
    for (const sign of textOf(text)) {
      const code = sign.codePointAt(0);
      if (code < 0x80) bytes.push(code);
      else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
      else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
      else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    }
    return bytes;
  }

  function fromUtf8(bytes) {
    let text = "";
    for (let i = 0; i < bytes.length; ) {
      const lead = bytes[i++];
      const more = lead < 0x80 ? 0 : lead >= 0xc2 && lead < 0xe0 ? 1 : lead >= 0xe0 && lead < 0xf0 ? 2 : lead >= 0xf0 && lead < 0xf5 ? 3 : -1;
      let code = more < 0 ? 0xfffd : more === 0 ? lead : lead & (0x3f >> more);
      for (let n = 0; n < more; n++) {
        if ((bytes[i] & 0xc0) !== 0x80) { code = 0xfffd; break; }
        code = (code << 6) | (bytes[i++] & 63);
      }
      text += String.fromCodePoint(code > 0x10ffff ? 0xfffd : code);
    }
    return text;
  }

  function fromBase64(text) {
    const bytes = [];
    let bits = 0, count = 0;
    for (const sign of textOf(text)) {
      const value = ALPHABET.indexOf(sign === "-" ? "+" : sign === "_" ? "/" : sign);
      if (value < 0) continue;
      bits = ((bits << 6) | value) & 0xffffff;
      count += 6;
      if (count >= 8) { count -= 8; bytes.push((bits >> count) & 255); }
    }
    return bytes;
  }

  function toBase64(bytes) {
    let text = "";
    for (let i = 0; i < bytes.length; i += 3) {
      const left = bytes.length - i;
      const three = (bytes[i] << 16) | ((left > 1 ? bytes[i + 1] : 0) << 8) | (left > 2 ? bytes[i + 2] : 0);
      text += ALPHABET[three >> 18] + ALPHABET[(three >> 12) & 63];
      text += left > 1 ? ALPHABET[(three >> 6) & 63] : "=";
      text += left > 2 ? ALPHABET[three & 63] : "=";
    }
    return text;
  }

  function fromHex(text) {
    const bytes = [];
    for (let i = 0; i + 1 < text.length; i += 2) {
      const value = Number.parseInt(text.slice(i, i + 2), 16);
      if (Number.isNaN(value)) break;
      bytes.push(value);
    }
    return bytes;
  }

  const latin = (text) => Array.from(text, (sign) => sign.charCodeAt(0) & 255);

  function encoded(text, encoding) {
    switch (textOf(encoding || "utf8").toLowerCase()) {
      case "hex": return fromHex(text);
      case "base64": case "base64url": return fromBase64(text);
      case "ascii": case "latin1": case "binary": return latin(text);
      default: return toUtf8(text);
    }
  }

  class Buffer extends Uint8Array {
    static from(value, encoding) {
      if (typeof value === "string") return new Buffer(encoded(value, encoding));
      if (value instanceof ArrayBuffer) return new Buffer(value);
      return new Buffer(Array.isArray(value) ? value : value && value.type === "Buffer" ? value.data : Array.from(value));
    }
    static alloc(size, fill) { return new Buffer(size).fill(fill || 0); }
    static allocUnsafe(size) { return new Buffer(size); }
    static isBuffer(value) { return value instanceof Buffer; }
    static byteLength(text, encoding) { return encoded(text, encoding).length; }
    static concat(list) { return Buffer.from([].concat(...list.map((each) => Array.from(each)))); }
    slice(from, to) { return this.subarray(from, to); }
    equals(other) { return this.length === other.length && this.every((byte, at) => byte === other[at]); }
    toJSON() { return { type: "Buffer", data: Array.from(this) }; }
    toString(encoding, from, to) {
      const bytes = this.subarray(from || 0, to === undefined ? this.length : to);
      switch (textOf(encoding || "utf8").toLowerCase()) {
        case "hex": return Array.from(bytes, (byte) => (byte < 16 ? "0" : "") + byte.toString(16)).join("");
        case "base64": return toBase64(bytes);
        case "base64url": return toBase64(bytes).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
        case "ascii": return Array.from(bytes, (byte) => String.fromCharCode(byte & 127)).join("");
        case "latin1": case "binary": return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
        default: return fromUtf8(bytes);
      }
    }
  }

  const view = (buffer) => new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  const KINDS = [["UInt8", "Uint8", 1], ["Int8", "Int8", 1], ["UInt16", "Uint16", 2], ["Int16", "Int16", 2],
    ["UInt32", "Uint32", 4], ["Int32", "Int32", 4], ["Float", "Float32", 4], ["Double", "Float64", 8],
    ["BigUInt64", "BigUint64", 8], ["BigInt64", "BigInt64", 8]];
  function define(name, kind, size, little) {
    const get = "get" + kind, set = "set" + kind;
    const read = function (at) { return view(this)[get](at || 0, little); };
    const write = function (value, at) { view(this)[set](at || 0, value, little); return (at || 0) + size; };
    for (const spelling of [name, name.replace("UInt", "Uint")]) {
      Buffer.prototype["read" + spelling] = read;
      Buffer.prototype["write" + spelling] = write;
    }
  }
  for (const [name, kind, size] of KINDS) {
    if (size === 1) define(name, kind, size, false);
    else { define(name + "BE", kind, size, false); define(name + "LE", kind, size, true); }
  }
  // The common ones once more without a view: a third of the price
  function within(buffer, at, size) {
    if (!(at >= 0 && at + size <= buffer.length)) throw new RangeError("out of bounds");
    return at;
  }
  const plain = {
    UInt8: function (at) { return this[within(this, at || 0, 1)]; },
    Int8: function (at) { return (this[within(this, at || 0, 1)] << 24) >> 24; },
    UInt16BE: function (at) { at = within(this, at || 0, 2); return (this[at] << 8) | this[at + 1]; },
    UInt16LE: function (at) { at = within(this, at || 0, 2); return (this[at + 1] << 8) | this[at]; },
    Int16BE: function (at) { at = within(this, at || 0, 2); return ((this[at] << 24) >> 16) | this[at + 1]; },
    Int16LE: function (at) { at = within(this, at || 0, 2); return ((this[at + 1] << 24) >> 16) | this[at]; },
    Int32BE: function (at) { at = within(this, at || 0, 4); return (this[at] << 24) | (this[at + 1] << 16) | (this[at + 2] << 8) | this[at + 3]; },
    Int32LE: function (at) { at = within(this, at || 0, 4); return (this[at + 3] << 24) | (this[at + 2] << 16) | (this[at + 1] << 8) | this[at]; },
    UInt32BE: function (at) { return this.readInt32BE(at) >>> 0; },
    UInt32LE: function (at) { return this.readInt32LE(at) >>> 0; },
  };
  for (const name of Object.keys(plain)) {
    for (const spelling of [name, name.replace("UInt", "Uint")]) Buffer.prototype["read" + spelling] = plain[name];
  }
  function wide(name, isSigned) {
    const sum = function (buffer, at, size, little) {
      let value = 0;
      for (let i = 0; i < size; i++) value = value * 256 + buffer[little ? at + size - 1 - i : at + i];
      if (Number.isNaN(value)) throw new RangeError("out of bounds");
      return isSigned && value >= 2 ** (8 * size - 1) ? value - 2 ** (8 * size) : value;
    };
    Buffer.prototype["read" + name + "BE"] = function (at, size) { return sum(this, at, size, false); };
    Buffer.prototype["read" + name + "LE"] = function (at, size) { return sum(this, at, size, true); };
  }
  wide("UInt", false);
  wide("Int", true);

  const silent = () => undefined;
  global.Buffer = Buffer;
  global.exports = {};
  global.module = { exports: global.exports };
  global.console = { log: silent, info: silent, warn: silent, error: silent, debug: silent, trace: silent };
  global.atob = (text) => fromBase64(text).map((byte) => String.fromCharCode(byte)).join("");
  global.btoa = (text) => toBase64(latin(textOf(text)));

  let own = {};
  function bind(found) {
    const exported = global.module && typeof global.module.exports === "object" && global.module.exports ? global.module.exports : {};
    own = {};
    for (const name of ["decodeUplink", "Decode", "Decoder", "encodeDownlink", "decodeDownlink"]) {
      const given = [exported[name], (global.exports || {})[name], found[name]];
      own[name] = given.find((each) => typeof each === "function");
    }
  }

  function call(kind, given) {
    const of = global.module.exports || global;
    if (kind === "encode") {
      if (!own.encodeDownlink) throw "has no encodeDownlink";
      return own.encodeDownlink.call(of, { data: given.data, variables: {} });
    }
    if (kind === "downlink") {
      if (!own.decodeDownlink) throw "has no decodeDownlink";
      return own.decodeDownlink.call(of, { bytes: given.bytes, fPort: given.fPort });
    }
    if (own.decodeUplink) {
      const recvTime = new DateOf(given.recvTime);
      return own.decodeUplink.call(of, { bytes: given.bytes, fPort: given.fPort, recvTime, variables: {} });
    }
    if (own.Decode) return own.Decode.call(of, given.fPort, given.bytes, {});
    if (own.Decoder) return own.Decoder.call(of, given.bytes, given.fPort);
    throw "has none of decodeUplink, Decode and Decoder";
  }

  function run(kind, text) {
    const result = call(kind, parse(text));
    if (typeof result !== "object" || result === null) throw "gave " + (result === null ? "null" : typeof result) + " for a result";
    if (typeof result.then === "function") throw "gave a promise, and nobody waits for it";
    const written = stringify(result);
    if (typeof written !== "string") throw "gave a result that cannot be written down";
    if (written.length > MAX_RESULT) throw "gave a result of over " + MAX_RESULT + " characters";
    return written;
  }

  global.__bind = bind;
  global.__run = run;
})(globalThis);
