// Prints the Khronos glTF validator's reports on files as a JSON list.
const fs = require("fs");
const validator = require("gltf-validator");
Promise.all(process.argv.slice(2).map((file) => validator.validateBytes(new Uint8Array(fs.readFileSync(file)))))
  .then((reports) => console.log(JSON.stringify(reports)))
  .catch((error) => {
    console.error(String(error));
    process.exit(1);
  });
