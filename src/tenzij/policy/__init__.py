"""May it, and where: `decide(facts, snapshot)` gives Local, Exceptional or Refused. Pure."""
