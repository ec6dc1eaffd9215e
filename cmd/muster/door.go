package main

import (
	"context"
	"time"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/store"
)

// heardKey is where the door keeps the last event that the bot has taken.
const heardKey = "muster/heard"

// retryDoor is how long the door waits when an event could not be kept.
const retryDoor = time.Second

// listenLocal is the door of the embedded chat: it hands what people do there to the
// bot, from the first event that the bot has not kept.
func (a *app) listenLocal(ctx context.Context) error {
	last, err := a.logs.Get(ctx, heardKey)
	if err != nil {
		return err
	}
	heard := string(last)
	for {
		events, err := a.o.World.Chat.Wait(ctx, heard)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := a.hear(ctx, e); err != nil {
				return nil // ctx has ended
			}
			heard = e.ID
		}
	}
}

// hear repeats until the bot has kept the event; an event is kept once however
// often it is delivered.
func (a *app) hear(ctx context.Context, e chat.Event) error {
	for {
		err := a.bot.Receive(ctx, e)
		if err == nil {
			err = a.logs.Set(ctx, store.Set{Key: heardKey, Value: []byte(e.ID)})
		}
		if err == nil {
			return nil
		}
		a.o.Log.Warn("what was said could not be kept; it is tried again", "event", e.ID, "error", err)
		select {
		case <-time.After(retryDoor):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
