package chat

import "context"

// Directory knows who is who in a chat.
type Directory interface {
	// Person returns the ID in the catalog of the person behind a handle. It is empty
	// for somebody who may not act here, and why then says so in a sentence for
	// that person. An error says that it cannot be known just now.
	Person(ctx context.Context, handle string) (id, why string, err error)
	// Handle returns the handle of a person of the catalog, empty if there is none. An
	// error says that it cannot be known just now.
	Handle(ctx context.Context, person string) (string, error)
}
