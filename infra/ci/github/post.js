// The end of the job, also after a failure: the token is burned, if the step got one.
const client = require("./client.js");

if (process.env.STATE_token) {
  client.run("burn");
}
