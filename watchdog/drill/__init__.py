"""Timed rollback drills: the kill of a flag of their own, measured from the decision to what a real reader is told.

`run.Drill` is the drill, `holding.hold` makes one from the settings, `schedule.DrillSchedule` starts them for the
daemon.
"""
