// Algorithm 4 as corrected (E27 to E32): one agent's endpoint.
'use strict';
const crypto = require('crypto');
const http = require('http');

// keys: source -> public key (E28); coordinators: ports on this machine (E31).
exports.createAgent = function (keys, coordinators) {
  return http.createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk)); // a request has no body of itself (E30)
    request.on('end', () => {
      const { message, signature, source } = JSON.parse(Buffer.concat(chunks));
      const key = keys[source];
      const isValid = key && crypto.verify('sha256', Buffer.from(message), key, Buffer.from(signature, 'hex')); // E29
      if (isValid) coordinators.forEach((port) => send(port, { message, flag: 'A' })); // none that is rejected (E32)
      response.writeHead(isValid ? 202 : 403, { 'Content-Type': 'text/plain' });
      response.end(isValid ? 'Proposal accepted' : 'Proposal rejected');
    });
  });
};

function send(port, proposal) {
  http.request({ host: '127.0.0.1', port, method: 'POST' }, (answer) => answer.resume()).end(JSON.stringify(proposal));
}
