package registry_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-release/muster/integrations/registry"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/playbooks/steps"
)

const puts = `^PUT .*/manifests/`

func TestMovesATag(t *testing.T) {
	for _, login := range []string{"", "basic", "bearer"} {
		t.Run("login "+login, func(t *testing.T) {
			inBubble(t, func(t *testing.T, y *yard) {
				older, newer := y.push("v1.0.0"), y.push("v1.1.0")
				y.login = login
				r := y.open()
				for _, one := range []struct {
					kind    playbooks.StepKind
					version string
					digest  string
				}{
					{playbooks.StepDeploy, "v1.0.0", older}, {playbooks.StepPromote, "v1.1.0", newer}, {playbooks.StepRollback, "v1.0.0", older},
				} {
					y.forget()
					for range 2 { // the second time it is there already
						report, err := r.Start(t.Context(), order(one.kind, one.version))
						y.must(err)
						if report.Phase != steps.Succeeded || !strings.HasPrefix(report.Message, "production is "+one.version+", sha256:") ||
							len(report.Evidence) != 1 || report.Evidence[0].Text != image+":production is "+one.digest {
							t.Errorf("%s: the report is %+v", one.kind, report)
						}
					}
					if n := y.count(puts); n != 1 || y.at("production") != one.digest {
						t.Errorf("%s: %d puts, and production is %s", one.kind, n, y.at("production"))
					}
					if report, err := r.Look(t.Context(), order(one.kind, one.version)); err != nil || report.Phase != steps.Succeeded {
						t.Errorf("%s: looked at it is %+v, %v", one.kind, report, err)
					}
					y.must(r.Stop(t.Context(), order(one.kind, one.version)))
					y.noLayers()
				}
			})
		})
	}
}

func TestChannelsAndTemplates(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		digest := y.push("cart-v1.0.0-abc")
		r := y.open()
		o := order(playbooks.StepDeploy, "v1.0.0", "from", "{module}-{version}-{commit}", "channel", "{environment}.{target}", playbooks.ParamCommit, "abc")
		o.Place.Target = "eu"
		_, err := r.Start(t.Context(), o)
		y.must(err)
		delete(o.Params, "channel")
		_, err = r.Start(t.Context(), o)
		y.must(err)
		if y.at("production.eu") != digest || y.at("production-eu") != digest {
			t.Error("the tags are not where they should be")
		}
		delete(o.Params, playbooks.ParamCommit) // as on the way back
		if _, err := r.Start(t.Context(), o); !isPermanent(err) || !strings.Contains(err.Error(), "nobody knows what {commit} is") {
			t.Errorf("the error is %v", err)
		}
		for _, bad := range [][]string{{"channel", "no tag"}, {"image", "shop/cart"}, {"image", ""}, {"image", "registry.example/Shop"}, {playbooks.ParamDigest, "sha256:abc"}, {"channel", "{target}"}} {
			o := order(playbooks.StepDeploy, "v1.0.0", bad...)
			o.Place.Module = "unknown"
			if _, err := r.Start(t.Context(), o); !isPermanent(err) {
				t.Errorf("%v: the error is %v", bad, err)
			}
		}
		if _, err := r.Start(t.Context(), order(playbooks.StepDeploy, "v1.0.0+build")); !isPermanent(err) {
			t.Errorf("a version that is no tag: the error is %v", err)
		}
		if _, err := r.Start(t.Context(), order(playbooks.StepDeploy, "")); !isPermanent(err) {
			t.Errorf("no version: the error is %v", err)
		}
	})
}

func TestByDigest(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		built, index := y.push("v1.0.0"), y.pushIndex("v2.0.0")
		y.push("moved")
		y.move("moved", "v1.0.0") // somebody put the version's tag elsewhere since it was planned
		r := y.open()
		for _, one := range []struct{ version, digest string }{{"v1.0.0", built}, {"v2.0.0", index}} {
			y.forget()
			_, err := r.Start(t.Context(), order(playbooks.StepDeploy, one.version, playbooks.ParamDigest, one.digest))
			y.must(err)
			if y.at("production") != one.digest || y.count(puts) != 1 {
				t.Errorf("%s: production is %s", one.version, y.at("production"))
			}
			if isIndex := strings.Contains(y.kind("production"), "index"); isIndex != (one.digest == index) {
				t.Errorf("%s: production is of type %s", one.version, y.kind("production"))
			}
			y.noLayers()
		}
		// A version that is a digest, for want of a better name.
		_, err := r.Start(t.Context(), order(playbooks.StepRollback, built))
		y.must(err)
		if y.at("production") != built {
			t.Errorf("production is %s", y.at("production"))
		}
		y.forget()
		missing := "sha256:" + strings.Repeat("0", 64)
		_, err = r.Start(t.Context(), order(playbooks.StepDeploy, "v3.0.0", playbooks.ParamDigest, missing))
		if !isPermanent(err) || !isGone(err) || !strings.Contains(err.Error(), missing) || y.count(puts) != 0 {
			t.Errorf("the error is %v", err)
		}
		// Of several platforms the index, by its tag.
		_, err = r.Start(t.Context(), order(playbooks.StepDeploy, "v2.0.0"))
		y.must(err)
		if y.at("production") != index {
			t.Errorf("production is %s", y.at("production"))
		}
		y.noLayers()
	})
}

// Some registries leave the digest out of their headers.
func TestWithoutADigestInTheHeaders(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		for version, digest := range map[string]string{"v1.0.0": y.push("v1.0.0"), "v2.0.0": y.pushIndex("v2.0.0")} {
			report, err := y.open(func(o *registry.Options) { o.Transport = withoutDigest{y} }).Start(t.Context(), order(playbooks.StepDeploy, version))
			y.must(err)
			if report.Phase != steps.Succeeded || y.at("production") != digest {
				t.Errorf("%s: the report is %+v, and production is %s", version, report, y.at("production"))
			}
		}
		y.noLayers()
	})
}

type withoutDigest struct{ y *yard }

func (w withoutDigest) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := w.y.RoundTrip(r)
	if err == nil {
		answer.Header.Del("Docker-Content-Digest")
	}
	return answer, err
}

func TestRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		y.push("v1.0.0")
		r := y.open()
		y.forget()
		for kind, says := range map[playbooks.StepKind]string{playbooks.StepCanary: "no share", playbooks.StepMigrate: "does nothing else", playbooks.StepTest: "does nothing else"} {
			if _, err := r.Start(t.Context(), order(kind, "v1.0.0")); !isPermanent(err) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: the error is %v", kind, err)
			}
		}
		if len(y.calls) != 0 {
			t.Errorf("calls were made: %v", y.calls)
		}
		_, err := r.Start(t.Context(), order(playbooks.StepDeploy, "v9.0.0"))
		if !isPermanent(err) || !isGone(err) || !strings.Contains(err.Error(), image+":v9.0.0") {
			t.Errorf("the error is %v", err)
		}
		report, err := r.Look(t.Context(), order(playbooks.StepDeploy, "v9.0.0"))
		if err != nil || report.Phase != steps.Failed {
			t.Errorf("looked at it is %+v, %v", report, err)
		}
		for _, one := range []struct {
			login, user, says string
		}{
			{"basic", "muster", "the login is refused"}, {"bearer", "muster", "the login is refused"}, {"basic", "", "it wants a login"},
		} {
			y.login = one.login
			wrong := y.open(func(o *registry.Options) {
				o.Registries[0].Password += "wr0ng"
				if one.user == "" {
					o.Registries = nil
				}
			})
			_, err := wrong.Start(t.Context(), order(playbooks.StepDeploy, "v1.0.0"))
			if !isPermanent(err) || !strings.Contains(err.Error(), one.says) || strings.Contains(err.Error(), password) {
				t.Errorf("%+v: the error is %v", one, err)
			}
		}
		y.login = ""
		for status, permanent := range map[int]bool{403: true, 405: true, 400: true, 307: true} {
			y.fault = func(_ int, r *http.Request) fault {
				switch {
				case r.URL.Host != "registry.example":
					t.Errorf("%s was asked", r.URL)
				case r.Method == http.MethodPut:
					return fault{status: status, header: http.Header{"Location": {"https://elsewhere.example/"}}}
				}
				return fault{}
			}
			if _, err := r.Start(t.Context(), order(playbooks.StepDeploy, "v1.0.0")); isPermanent(err) != permanent || retryAfter(err) != 0 {
				t.Errorf("HTTP %d: the error is %v", status, err)
			}
		}
		if y.at("production") != "" {
			t.Error("what was refused was done")
		}
	})
}

func TestRateLimit(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		y.push("v1.0.0")
		r := y.open()
		for header, want := range map[string]time.Duration{"": 30 * time.Second, "7": 7 * time.Second, "Fri, 01 Jan 2100 00:00:00 GMT": time.Hour} {
			y.fault = func(_ int, r *http.Request) fault {
				if r.Method == http.MethodPut {
					return fault{status: 429, header: http.Header{"Retry-After": {header}}}
				}
				return fault{}
			}
			if _, err := r.Start(t.Context(), order(playbooks.StepDeploy, "v1.0.0")); retryAfter(err) != want || isPermanent(err) {
				t.Errorf("%q: the error is %v", header, err)
			}
		}
		if n := y.count(puts); n != 0 {
			t.Errorf("%d puts", n)
		}
	})
}

// Whatever goes wrong with whichever call, the tag is put once.
func TestFaultAtEveryCall(t *testing.T) {
	kinds := map[string]fault{
		"refused":     {before: errRefused},
		"broken":      {before: errDropped},
		"error":       {status: 500},
		"unavailable": {status: 503},
		"limited":     {status: 429},
		"lost":        {after: errDropped},
	}
	played := 0
	for _, login := range []string{"basic", "bearer"} {
		for kind, f := range kinds {
			for n := 1; ; n++ {
				hit := false
				synctest.Test(t, func(t *testing.T) {
					y := newYard(t)
					y.push("v0.9.0")
					y.move("v0.9.0", "production")
					digest := y.push("v1.0.0")
					y.login = login
					y.fault = func(call int, _ *http.Request) fault {
						if call == n {
							hit = true
							return f
						}
						return fault{}
					}
					report, begun := drive(t.Context(), t, y.open(), order(playbooks.StepDeploy, "v1.0.0"))
					if report.Phase != steps.Succeeded || y.at("production") != digest || y.count(puts) != 1 || begun > 2 {
						t.Errorf("%s at call %d: %+v, begun %d times, put %d times", kind, n, report, begun, y.count(puts))
					}
					y.noLayers()
				})
				if !hit {
					break
				}
				played++
			}
		}
	}
	if played < 2*6*7 {
		t.Errorf("only %d faults were played", played)
	}
	t.Logf("%d faults", played)
}

// After the tag was put no error may say that nothing was done.
func TestErrorAfterThePut(t *testing.T) {
	for _, f := range []fault{{before: errRefused}, {status: 429}, {status: 403}, {status: 404}, {status: 500}} {
		inBubble(t, func(t *testing.T, y *yard) {
			digest := y.push("v1.0.0")
			put := false
			y.fault = func(_ int, r *http.Request) fault {
				if put {
					return f
				}
				put = put || r.Method == http.MethodPut
				return fault{}
			}
			r := y.open()
			report, err := r.Start(t.Context(), order(playbooks.StepDeploy, "v1.0.0"))
			switch {
			case isPermanent(err) || retryAfter(err) != 0 || isGone(err):
				t.Errorf("%+v: the error is %v", f, err)
			case f.status == 404 && (err != nil || report.Phase != steps.Running): // it may not show yet
				t.Errorf("%+v: the report is %+v, the error %v", f, report, err)
			case f.status != 404 && err == nil:
				t.Errorf("%+v: the report is %+v", f, report)
			}
			y.fault = nil
			if report, err := r.Look(t.Context(), order(playbooks.StepDeploy, "v1.0.0")); err != nil || report.Phase != steps.Succeeded || y.at("production") != digest {
				t.Errorf("looked at it is %+v, %v", report, err)
			}
		})
	}
}

func TestHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		y.push("v1.0.0")
		hanging := y.open(func(o *registry.Options) { o.Transport = hang{} })
		began := time.Now()
		_, err := hanging.Start(t.Context(), order(playbooks.StepDeploy, "v1.0.0"))
		if retryAfter(err) == 0 || !strings.Contains(err.Error(), "no answer within 10s") || time.Since(began) != 10*time.Second {
			t.Errorf("the error is %v, after %v", err, time.Since(began))
		}
	})
}

type hang struct{}

func (hang) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// An order whose answer was lost is absent only when nothing of it can be under way any more, and
// what comes too late is not sent.
func TestTooLate(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		y.push("v1.0.0")
		r := y.open()
		o := order(playbooks.StepDeploy, "v1.0.0")
		waited := time.Duration(0)
		for {
			report, err := r.Look(t.Context(), o)
			y.must(err)
			if report.Phase == steps.Absent {
				break
			}
			if report.Phase != steps.Running || report.CheckAfter <= 0 {
				t.Fatalf("the report is %+v", report)
			}
			time.Sleep(report.CheckAfter)
			waited += report.CheckAfter
		}
		if waited != 150*time.Second {
			t.Errorf("it is absent after %v", waited)
		}
		if _, err := r.Start(t.Context(), o); retryAfter(err) == 0 || y.count(puts) != 0 {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestRemove(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		digest := y.push("v1.0.0")
		y.move("v1.0.0", "production")
		y.login = "bearer"
		r := y.open()
		for range 2 {
			report, err := r.Start(t.Context(), order(playbooks.StepRemove, ""))
			y.must(err)
			if report.Phase != steps.Succeeded || y.at("production") != "" || y.at("v1.0.0") != digest {
				t.Errorf("the report is %+v", report)
			}
		}
		if n := y.count("^DELETE"); n != 1 {
			t.Errorf("%d deletions", n)
		}
		y.move("v1.0.0", "production")
		if report, err := r.Look(t.Context(), order(playbooks.StepRemove, "")); err != nil || report.Phase != steps.Running {
			t.Errorf("looked at it is %+v, %v", report, err)
		}
		for _, status := range []int{405, 404, 400} {
			y.fault = func(_ int, r *http.Request) fault {
				if r.Method == http.MethodDelete {
					return fault{status: status}
				}
				return fault{}
			}
			if _, err := r.Start(t.Context(), order(playbooks.StepRemove, "")); !isPermanent(err) || !strings.Contains(err.Error(), "delete it by hand") {
				t.Errorf("HTTP %d: the error is %v", status, err)
			}
		}
		y.fault = func(_ int, r *http.Request) fault {
			if r.Method == http.MethodDelete {
				return fault{after: errDropped}
			}
			return fault{}
		}
		if report, begun := drive(t.Context(), t, r, order(playbooks.StepRemove, "")); report.Phase != steps.Succeeded || begun != 1 {
			t.Errorf("the report is %+v", report)
		}
	})
}

func TestPublish(t *testing.T) {
	inBubble(t, func(t *testing.T, y *yard) {
		digest := y.push("v1.0.0")
		r := y.open()
		o := order(playbooks.StepPublish, "v1.0.0", "channel", "latest", playbooks.ParamWith, registry.System)
		delete(o.Params, "image") // it is the module's
		report, err := r.Start(t.Context(), o)
		y.must(err)
		if report.Phase != steps.Succeeded || y.at("latest") != digest || y.at("production") != "" {
			t.Errorf("the report is %+v", report)
		}
		y.noLayers()
	})
}
