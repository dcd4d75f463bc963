// Prints the Khronos glTF validator's report on a file as JSON.
const fs = require("fs");
const validator = require("gltf-validator");
validator
  .validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])))
  .then((report) => console.log(JSON.stringify(report)))
  .catch((error) => {
    console.error(String(error));
    process.exit(1);
  });
