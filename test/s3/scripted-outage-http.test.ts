import { testOutage } from "./outage.ts";

const MIB = 1024 * 1024;

testOutage("uploads in progress and new ones survive an object store that is away for a second and a half", {
  routes: ["a form", "a PUT to a link", "a tus PATCH"],
  durationMs: 1_500,
  largeSize: 11 * MIB,
});
