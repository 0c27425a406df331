/** The S3 store itself on a real server: its contract, its requests, faults, races and kills. */
import { contractSuite } from "./contract.ts";
import { eventKillsSuite } from "./event-kills.ts";
import { faultsSuite } from "./faults.ts";
import { onGateway } from "./gateway.ts";
import { hugeSuite } from "./huge.ts";
import { killSuite } from "./kill.ts";
import { racesSuite } from "./races.ts";
import { repetitionSuite } from "./repetition.ts";
import { requestsSuite } from "./requests.ts";

await onGateway("the S3 store on a real server", [
  contractSuite,
  requestsSuite,
  repetitionSuite,
  faultsSuite,
  racesSuite,
  killSuite,
  eventKillsSuite,
  hugeSuite,
]);
