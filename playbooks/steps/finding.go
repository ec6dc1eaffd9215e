package steps

// Finding is one thing that an adapter looked at to find out whether the outside system is
// as the configuration has it. Its words name no secret.
type Finding struct {
	OK   bool
	What string
	Fix  string // what to change, and where; empty if it is OK
}
