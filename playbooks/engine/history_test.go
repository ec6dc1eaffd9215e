package engine_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/mem"
)

var record = flag.Bool("record", false, "write what this version stores to testdata/histories; only for a new format, in a new folder")

// histories are stores as they were left behind. Once recorded they stay as they
// are: later versions of Muster have to go on from them.
var histories = map[string]struct {
	leave  func(*lab)         // how the store came about
	resume func(*lab, string) // what has to be possible with run 1
}{
	"waiting": {
		leave: func(l *lab) {
			run := l.release("dev", "production", "db", "api", "web")
			l.must(playbooks.CommandApprove, "lea", run)
		},
		resume: func(l *lab, run string) {
			l.must(playbooks.CommandApprove, "quinn", run)
			l.until(run, done, time.Hour)
		},
	},
	"deploying": {
		leave: func(l *lab) {
			run := l.release("dev", "production", "db", "api", "web")
			l.must(playbooks.CommandApprove, "lea", run)
			l.must(playbooks.CommandApprove, "quinn", run)
			time.Sleep(10 * time.Second)
		},
		resume: func(l *lab, run string) { l.until(run, done, time.Hour) },
	},
	"held": {
		leave: func(l *lab) {
			l.world.Inject(local.Fault{Module: "api", Kind: local.Fail})
			run := l.release("dev", "production", "db", "api", "web")
			l.must(playbooks.CommandApprove, "lea", run)
			l.must(playbooks.CommandApprove, "quinn", run)
			l.until(run, playbooks.StatusHeld, time.Hour)
		},
		resume: func(l *lab, run string) {
			l.must(playbooks.CommandRollback, "dev", run)
			time.Sleep(time.Minute)
			l.must(playbooks.CommandApprove, "dev", run)
			l.until(run, rolledBack, time.Hour)
		},
	},
}

// pair is a key of a store with its value.
type pair struct{ Key, Value []byte }

func TestStoredHistories(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*/*.jsonl")
	if err != nil || len(files) == 0 && !*record {
		t.Fatalf("no histories: %v", err)
	}
	if *record {
		for name, h := range histories {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, shop(), local.Options{Takes: func(steps.Order) time.Duration { return time.Minute }}).start()
				l.live()
				h.leave(l)
				l.engine.Stop()
				dump(t, l.store.Reopen(), filepath.Join("testdata/histories/1", name+".jsonl"))
			})
		}
		return
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(filepath.Base(filepath.Dir(file))+"/"+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, shop(), local.Options{})
				restore(t, l.store, file)
				l.causes = 1000 // commands of later
				l.live()
				l.start()
				defer func() { l.engine.Stop() }()
				histories[name[:len(name)-len(".jsonl")]].resume(l, "1")
				if _, err := store.NewLogs(l.store).Verify(context.Background(), "run/1"); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func dump(t *testing.T, s *mem.Store, file string) {
	t.Helper()
	var out bytes.Buffer
	err := s.View(context.Background(), func(r store.Reader) error {
		for p, err := range r.Scan(nil, nil) {
			if err != nil {
				return err
			}
			line, err := json.Marshal(pair{p.Key, p.Value})
			if err != nil {
				return err
			}
			out.Write(append(line, '\n'))
		}
		return nil
	})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(file), 0o755)
	}
	if err == nil {
		err = os.WriteFile(file, out.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func restore(t *testing.T, s *mem.Store, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var p pair
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(context.Background(), func(tx store.Txn) error { return tx.Put(p.Key, p.Value) }); err != nil {
			t.Fatal(err)
		}
	}
}
