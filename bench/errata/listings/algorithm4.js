var hash=require('./sha256module'),
var sys require("sys"),
myhttp require("http")
myhttp.createServer(function(request,response)
sys.puts("Proposal Received");
message request.body.message
pubkey request.body.patientId
signature request.body.signature
source request.body.source
if (sourcehash.sha256Hash(pubkey)&& verifySig(signature))
var-proposal(message:message,flag: 'A')
request.body.message proposal
request.redirect ('../coordinator1');
request.redirect ('../coordinator2');
('../coordinator3')
else
var proposal (message:message,flag: 'R')
request.body.message proposal
request.redirect ('../coordinator1');
request.redirect ('../coordinator2');
request.redirect ('../coordinator3');
response.writeHead(200, "Content-Type": "text/plain");
response.write("Proposal Received");
response.end();
.listen(7777);
