// Algorithm 3 as corrected (E26): the SHA-256 of a public key, in hexadecimal.
'use strict';
const crypto = require('crypto');

exports.sha256Hash = function (publicKey) {
  return crypto.createHash('sha256').update(publicKey).digest('hex');
};
