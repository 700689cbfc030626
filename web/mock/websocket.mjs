// The server side of RFC 6455, as much of it as a browser on the same machine needs: text frames
// of JSON, close, ping. No extensions, no fragments from us.
import { createHash } from "node:crypto";

const MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

export function acceptWebSocket(request, stream) {
  const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + MAGIC).digest("base64");
  const protocol = request.headers["sec-websocket-protocol"];
  stream.write(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${accept}\r\n${protocol ? "Sec-WebSocket-Protocol: parley.v1\r\n" : ""}\r\n`,
  );
  const socket = {
    onmessage: () => {},
    onclose: () => {},
    send: (value) => stream.writable && stream.write(encode(TEXT, Buffer.from(JSON.stringify(value)))),
    close: (code) => {
      const payload = Buffer.alloc(2);
      payload.writeUInt16BE(code);
      stream.end(encode(CLOSE, payload));
    },
    /** For tests of reconnecting: the network is gone, no goodbye. */
    destroy: () => stream.destroy(),
  };
  let buffered = Buffer.alloc(0);
  let fragments = [];
  stream.on("data", (bytes) => {
    buffered = Buffer.concat([buffered, bytes]);
    for (let frame = decode(buffered); frame; frame = decode(buffered)) {
      buffered = buffered.subarray(frame.bytes);
      if (frame.opcode === CLOSE) stream.end();
      else if (frame.opcode === PING) stream.write(encode(PONG, frame.payload));
      else if (frame.opcode <= TEXT) {
        fragments.push(frame.payload);
        if (!frame.final) continue;
        const text = Buffer.concat(fragments).toString();
        fragments = [];
        socket.onmessage(JSON.parse(text));
      }
    }
  });
  stream.on("error", () => {});
  stream.on("close", () => socket.onclose());
  return socket;
}

function encode(opcode, payload) {
  const { length } = payload;
  const header = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
  header[0] = 0x80 | opcode;
  if (length < 126) header[1] = length;
  else if (length < 65536) {
    header[1] = 126;
    header.writeUInt16BE(length, 2);
  } else {
    header[1] = 127;
    header.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([header, payload]);
}

/** The first frame of `buffer`, unmasked, or null when it is not all there yet. */
function decode(buffer) {
  if (buffer.length < 2) return null;
  let length = buffer[1] & 0x7f;
  let offset = 2;
  if (length === 126) {
    if (buffer.length < 4) return null;
    length = buffer.readUInt16BE(2);
    offset = 4;
  } else if (length === 127) {
    if (buffer.length < 10) return null;
    length = Number(buffer.readBigUInt64BE(2));
    offset = 10;
  }
  const bytes = offset + 4 + length;
  if (buffer.length < bytes) return null;
  const mask = buffer.subarray(offset, offset + 4);
  const payload = Buffer.from(buffer.subarray(offset + 4, bytes)).map((byte, index) => byte ^ mask[index & 3]);
  return { final: (buffer[0] & 0x80) !== 0, opcode: buffer[0] & 0x0f, payload, bytes };
}
