/** The service, the client, delegated downloads and doctor on a real S3 server. */
import { clientSuite } from "./client.ts";
import { delegatedSuite } from "./delegated.ts";
import { doctorSuite } from "./doctor.ts";
import { onGateway } from "./gateway.ts";
import { importsSuite } from "./imports.ts";
import { maintenanceSuite } from "./maintenance.ts";
import { migrationsSuite } from "./migrations.ts";
import { pricesSuite } from "./prices.ts";
import { serverSuite } from "./server.ts";
import { workersSuite } from "./workers.ts";

await onGateway("the service on a real S3 server", [
  serverSuite,
  workersSuite,
  pricesSuite,
  clientSuite,
  delegatedSuite,
  doctorSuite,
  maintenanceSuite,
  importsSuite,
  migrationsSuite,
]);
