package bot_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/bot"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
	"github.com/muster-release/muster/store"
)

// announce carries out an order as the engine does: what was started and gave no
// answer is looked up, and begun again when it is absent.
func announce(t *testing.T, n *newsroom, o steps.Order) steps.Report {
	t.Helper()
	for range 20 {
		// Each time with a Notifier that remembers nothing itself.
		notifier := bot.NewNotifier(n.world.Chat, store.NewLogs(n.store), func(string) []string { return []string{"releases", "shop"} })
		report, err := notifier.Start(t.Context(), o)
		if err == nil {
			return report
		}
		for {
			if report, err = notifier.Look(t.Context(), o); err == nil {
				break
			}
			time.Sleep(time.Minute)
		}
		if report.Phase != steps.Absent {
			return report
		}
		o.Attempt++
	}
	t.Fatal("the announcement never ends")
	return steps.Report{}
}

func order(step string) steps.Order {
	return steps.Order{
		Run: "7", Step: step, Attempt: 1, Action: playbooks.StepNotify, StartedAt: time.Now(),
		Place: playbooks.Place{Environment: "production"},
	}
}

func TestAnnouncedOnce(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, method := range []string{"Post", "Find"} {
			for at := range 4 {
				synctest.Test(t, func(t *testing.T) {
					n := newNewsroom(t)
					calls := 0
					n.intercept(func(_ context.Context, c local.Call) error {
						if c.After == after && c.Method == method {
							if calls++; calls == at {
								return errors.New("the connection broke")
							}
						}
						return nil
					})
					if r := announce(t, n, order("notify")); r.Phase != steps.Succeeded {
						t.Errorf("the report is %+v", r)
					}
					for _, channel := range []string{"releases", "shop"} {
						wantContains(t, "the announcement", n.one("notify/7", channel).Card.Text, "Release 7 is complete")
					}
				})
			}
		}
	}
}

func TestAnnouncementOfARollback(t *testing.T) {
	n := newNewsroom(t)
	o := order("notify-rollback")
	o.Params = map[string]string{playbooks.ParamChannels: "ops"}
	announce(t, n, o)
	m := n.one("notify/7", "ops")
	if m.Key != "notify/7/notify-rollback" {
		t.Errorf("the key is %q: the release's own announcement would be taken for it", m.Key)
	}
	wantContains(t, "the announcement", m.Card.Text, "Run 7 went back")
}

// TestAnnouncementHoldsNothingUp ends a release whose channels do not work.
func TestAnnouncementHoldsNothingUp(t *testing.T) {
	for name, err := range map[string]error{"refused": trackerRefusal{errors.New("no such channel")}, "down": errors.New("connection refused")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNewsroom(t)
				n.intercept(func(context.Context, local.Call) error { return err })
				began := time.Now()
				r := announce(t, n, order("notify"))
				if r.Phase != steps.Succeeded || !strings.Contains(r.Message, "not announced everywhere: ") {
					t.Errorf("the report is %+v", r)
				}
				if took := time.Since(began); took > 10*time.Minute {
					t.Errorf("gave up after %v", took)
				}
			})
		})
	}
}
