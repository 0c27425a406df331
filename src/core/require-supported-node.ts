import { unsupportedRuntime } from "../base/supported-node.ts";
import { FixityError } from "./errors.ts";

// Each entry for Node imports this module first, for its side effect: dependencies are evaluated in the order of their
// imports, so this sentence comes before whatever an older Node would trip over in the modules after it.
const refusal = unsupportedRuntime();
if (refusal !== null) throw new FixityError("unsupported-runtime", refusal);
