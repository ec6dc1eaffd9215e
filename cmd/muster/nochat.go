package main

import (
	"context"

	"github.com/muster-release/muster/bot/chat"
)

// silence is the chat where none is configured: nobody hears what is said there.
type silence struct{}

// unheard is the permanent refusal of a chat that does not exist.
type unheard struct{}

func (unheard) Error() string   { return "no chat is configured" }
func (unheard) Permanent() bool { return true }

func (silence) Post(context.Context, chat.Message) (chat.Handle, error) {
	return chat.Handle{}, unheard{}
}

func (silence) Update(context.Context, chat.Handle, chat.Message) error { return unheard{} }

func (silence) Find(context.Context, chat.Message) (chat.Handle, bool, error) {
	return chat.Handle{}, false, nil
}
