// Runs job_token.py with the client of this very checkout, so that the commit which a workflow pins
// is all that runs. Its libraries are pinned by their hashes.
const { spawnSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const CHECKOUT = path.resolve(__dirname, "../../..");
const LIBRARIES = path.join(process.env.RUNNER_TEMP || "", "pytp-broker-libraries");
const PYTHON = process.platform === "win32" ? "python" : "python3";
const NO_PYTHON =
  "pytp-broker needs Python 3.11 or later: add actions/setup-python before this step";

function python(...words) {
  // Without the safe path, `-m pip` would run a `pip.py` of the workspace, which may come from a
  // build that must not have this job's identity.
  const own = { PYTHONPATH: importPath(), PYTHONSAFEPATH: "1" };
  // Windows looks for a program in the current folder first.
  const options = { stdio: "inherit", cwd: __dirname, env: { ...process.env, ...own } };
  return spawnSync(PYTHON, words, options).status === 0;
}

function importPath() {
  return [path.join(CHECKOUT, "functions"), LIBRARIES].join(path.delimiter);
}

exports.install = function () {
  if (!python("-c", "import sys; sys.exit(sys.version_info < (3, 11))")) {
    console.log(`::error::${NO_PYTHON}`);
    return false;
  }
  if (fs.existsSync(LIBRARIES)) {
    return true; // from an earlier step of this job: pip makes the folder when it has everything
  }
  const pinned = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement"];
  const quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
  const requirements = path.join(__dirname, "requirements.txt");
  return python(...quiet, "--target", LIBRARIES, ...pinned, requirements);
};

exports.run = function (action) {
  return python(path.join(__dirname, "job_token.py"), action);
};
