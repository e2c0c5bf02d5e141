import { assertEquals } from "@std/assert";
import { Schedule } from "../../../../cli/client/load/schedule.ts";

Deno.test("Schedule has each message due at its own time, whenever those before were taken", () => {
  const schedule = new Schedule(1000, 4, 1000);
  const due: number[] = [];
  for (let i = 0; i < 5; i++) {
    due.push(schedule.due);
    schedule.take();
  }
  assertEquals(due, [1000, 1250, 1500, 1750, Infinity]);
});

Deno.test("Schedule.takeDue() takes what is due and was not taken, up to the last message", () => {
  const schedule = new Schedule(1000, 4, 1000);
  assertEquals(schedule.takeDue(999), 0);
  assertEquals(schedule.takeDue(1000), 1);
  schedule.take();
  assertEquals(schedule.takeDue(1499), 0);
  assertEquals(schedule.takeDue(1500), 1);
  assertEquals(schedule.due, 1750);
  assertEquals(schedule.takeDue(10_000), 1);
  assertEquals(schedule.takeDue(20_000), 0);
});

Deno.test("Schedule has a message for each part of a second that is begun", () => {
  const schedule = new Schedule(0, 3, 500);
  assertEquals(schedule.takeDue(Infinity), 2);
});
