/** Everything that is tried on a real S3 server: in one process, so that one server does for all of it. */
import { after, test } from "node:test";
import { clientSuite } from "./client.ts";
import { contractSuite } from "./contract.ts";
import { delegatedSuite } from "./delegated.ts";
import { doctorSuite } from "./doctor.ts";
import { faultsSuite } from "./faults.ts";
import { startGateway, whyNoGateway } from "./gateway.ts";
import { hugeSuite } from "./huge.ts";
import { killSuite } from "./kill.ts";
import { pricesSuite } from "./prices.ts";
import { racesSuite } from "./races.ts";
import { requestsSuite } from "./requests.ts";
import { roundsSuite } from "./rounds.ts";
import { serverSuite } from "./server.ts";
import { uploadFaultsSuite } from "./upload-faults.ts";
import { uploadsSuite } from "./uploads.ts";
import { versionedSuite } from "./versioned.ts";

const missing = whyNoGateway();
if (missing === null) {
  const gateway = await startGateway();
  after(async () => gateway.stop());
  contractSuite(gateway);
  requestsSuite(gateway);
  pricesSuite(gateway);
  faultsSuite(gateway);
  racesSuite(gateway);
  serverSuite(gateway);
  clientSuite(gateway);
  uploadsSuite(gateway);
  versionedSuite(gateway);
  uploadFaultsSuite(gateway);
  roundsSuite(gateway);
  delegatedSuite(gateway);
  doctorSuite(gateway);
  killSuite(gateway);
  hugeSuite(gateway);
} else {
  test("the S3 store on a real server", { skip: missing });
}
