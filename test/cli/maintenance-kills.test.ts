import { killedFolder, testKilledMaintenance } from "./maintenance-kills.ts";

testKilledMaintenance("import --link, copy and rm that are killed lose nothing and leave nothing", {
  place: killedFolder,
  kills: 1,
  files: 12,
  importFlags: ["--link"],
});
