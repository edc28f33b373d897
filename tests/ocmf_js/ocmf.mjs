// Signs and verifies OCMF records, one JSON command per line, one JSON answer per line.
//   {"do": "sign", "key": <PKCS#8 as hex>, "method": <SA>, "payload": {...}} -> {"record": "OCMF|..."}
//   {"do": "verify", "key": <SubjectPublicKeyInfo as hex>, "record": "..."} -> {"verified": true}
// What goes wrong is answered as {"error": "..."}.
import { createInterface } from "node:readline";
import ocmf from "@road-labs/ocmf";
import noble from "@road-labs/ocmf-crypto-noble";

const crypto = new noble.Crypto();
const signer = new ocmf.Signer(crypto);
const verifier = new ocmf.Verifier(crypto);
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));

async function answer(command) {
  if (command.do === "sign") {
    const key = await crypto.decodeEcPrivateKey(bytes(command.key), "pkcs8-der");
    return { record: await signer.sign(command.payload, key, command.method) };
  }
  const key = await crypto.decodeEcPublicKey(bytes(command.key), "spki-der");
  const { verified } = await verifier.parseAndVerify(command.record, key);
  return { verified };
}

for await (const line of createInterface({ input: process.stdin })) {
  let said;
  try {
    said = await answer(JSON.parse(line));
  } catch (error) {
    said = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(said) + "\n");
}
