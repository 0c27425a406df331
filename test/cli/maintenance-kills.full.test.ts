import { killedFolder, testKilledMaintenance } from "./maintenance-kills.ts";

testKilledMaintenance("import, copy and rm that are killed again and again lose nothing and leave nothing", {
  place: killedFolder,
  kills: 12,
  files: 60,
});

testKilledMaintenance("import --link, copy and rm that are killed again and again lose nothing and leave nothing", {
  place: killedFolder,
  kills: 6,
  files: 60,
  importFlags: ["--link"],
});
