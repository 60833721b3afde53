// Runs the corrected Algorithm 4 between a client and three coordinators, on ports that the machine chooses, and prints
// what came of a proposal that is signed and of one that was changed afterwards.
'use strict';
const crypto = require('crypto');
const http = require('http');
const { createAgent } = require('./algorithm4_corrected.js');

const { publicKey, privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
const heard = [0, 0, 0];
const listen = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));
const post = (port, body) =>
  new Promise((done) => {
    const options = { host: '127.0.0.1', port, method: 'POST' };
    http.request(options, (answer) => answer.resume().on('end', () => done(answer.statusCode))).end(JSON.stringify(body));
  });

async function main() {
  const servers = heard.map((_, index) =>
    http.createServer((request, response) => {
      heard[index] += 1;
      request.resume().on('end', () => response.end());
    }));
  const ports = await Promise.all(servers.map(listen));
  const arrived = () => new Promise((done) => setTimeout(done, 5));
  const agent = createAgent({ 'visitor-1': publicKey }, ports);
  const port = await listen(agent);
  const message = 'ECG of 0001';
  const signature = crypto.sign('sha256', Buffer.from(message), privateKey).toString('hex');
  const signed = await post(port, { message, signature, source: 'visitor-1' });
  while (heard.some((count) => count < 1)) await arrived();
  const changed = await post(port, { message: 'ECG of 0002', signature, source: 'visitor-1' });
  await arrived(); // a proposal that should not be on its way would be here by now
  process.stdout.write(JSON.stringify({ signed, changed, heard }));
  process.exit(0);
}

main();
