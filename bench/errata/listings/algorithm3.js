var crypto=require('crypto');
exports.sha256Hash function (pubkey)
return crypto.createHash ('sha256'). update (pubkey).digest ('hex');
