import { unsupportedRuntime } from "../base/supported-node.ts";
import { FixityError } from "./errors.ts";

// Each entry for Node imports this module first, for its side effect. Modules are evaluated in
// import order, so this error comes before whatever would break an older Node in a later module.
const refusal = unsupportedRuntime();
if (refusal !== null) throw new FixityError("unsupported-runtime", refusal);
