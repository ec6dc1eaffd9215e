package chat

// Form asks a person for what a line needs, where a chat can: a modal, a dialog.
type Form struct {
	Name   string // which form it is: it comes back with what was filled in
	Title  string // at most 24 characters
	Submit string // what the button says, at most 24 characters
	// Wait is what the form shows, once it is sent, until the answer to its line
	// takes its place. Empty: the form closes, and the answer goes where answers go.
	Wait   string
	Inputs []Input
}

// Input is one thing that a form asks for.
type Input struct {
	Name     string
	Label    string
	Hint     string
	Kind     InputKind
	Optional bool
	Choices  []Choice // of a Choose; those of a Search are asked for while the person types
}

// InputKind says how an input is filled in.
type InputKind string

const (
	Choose InputKind = "choose" // one of a few
	Search InputKind = "search" // some of many
	Words  InputKind = "words"  // a line of text
)

// Choice is something that can be chosen.
type Choice struct {
	Value string // at most 75 characters
	Label string // at most 75 characters
}

// Filled is a form that a person sent, with the values of each input by its name.
type Filled struct {
	Form   string
	Values map[string][]string
}
