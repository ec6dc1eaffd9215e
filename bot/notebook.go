package bot

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/muster-release/muster/store"
)

// notebook keeps what the bot and its reporters have to remember.
type notebook struct{ logs *store.Logs }

// read reports whether there is a note at key.
func (n notebook) read(ctx context.Context, key string, v any) (bool, error) {
	data, err := n.logs.Get(ctx, key)
	if err != nil || data == nil {
		return false, err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return false, fmt.Errorf("bot: key %q: %w", key, err)
	}
	return true, nil
}

// write is finished even when ctx ends meanwhile: what it notes has happened.
func (n notebook) write(ctx context.Context, key string, v any, more ...store.Set) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("bot: key %q: %w", key, err)
	}
	return n.logs.Set(context.WithoutCancel(ctx), append(more, store.Set{Key: key, Value: data})...)
}

// keys returns the keys that begin with prefix.
func (n notebook) keys(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	for pair, err := range n.logs.Keys(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		keys = append(keys, string(pair.Key))
	}
	return keys, nil
}

// remove deletes keys, the last one last.
func (n notebook) remove(ctx context.Context, keys ...string) error {
	for len(keys) > 0 {
		batch := keys[:min(len(keys), store.MaxTxnOps/2)]
		keys = keys[len(batch):]
		sets := make([]store.Set, len(batch))
		for i, key := range batch {
			sets[i].Key = key
		}
		if err := n.logs.Set(ctx, sets...); err != nil {
			return err
		}
	}
	return nil
}
