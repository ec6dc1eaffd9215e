package playbooks

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Digest is a SHA-256. Its text form is 64 hexadecimal digits.
type Digest [sha256.Size]byte

// IsZero reports whether d was never set.
func (d Digest) IsZero() bool { return d == Digest{} }

// String returns all 64 digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short returns the first 8 digits, enough for a person to compare by eye and
// for Muster to find a stored playbook by.
func (d Digest) Short() string { return hex.EncodeToString(d[:4]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) {
	return hex.AppendEncode(make([]byte, 0, 2*len(d)), d[:]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(d) || len(text)%2 != 0 {
		return fmt.Errorf("digest %q: want %d hexadecimal digits", text, 2*len(d))
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("digest %q: %w", text, err)
	}
	return nil
}

// The first words of everything that is hashed. They change when the encoding
// does, so that digests of two encodings never meet.
const (
	stepDomain     = "muster step v1"
	merkleDomain   = "muster merkle v1"
	playbookDomain = "muster playbook v1"
)

// Seal sorts the needs of all steps, computes every digest and makes Step fast.
// The error says what keeps the playbook from being one: an ID that two steps
// have, a need that is no earlier step. Seal is for those who have just made a
// playbook; nobody else may have it yet.
func (pb *Playbook) Seal() error {
	for i := range pb.Steps {
		sortEdges(pb.Steps[i].Needs)
	}
	return pb.seal()
}

// seal is Seal for steps whose needs are sorted.
func (pb *Playbook) seal() error {
	return pb.hash(func(s *Step, content, merkle Digest) error {
		s.Digest, s.Merkle = content, merkle
		return nil
	}, func(all Digest) error {
		pb.Digest = all
		return nil
	})
}

// Check makes sure that a playbook that comes from outside is one, and is what
// its digests say: IDs are unique, each need is an earlier step, approvals and
// steps name each other, all digests are right. It also makes Step fast, so it
// comes before anybody else uses the playbook.
func (pb *Playbook) Check() error {
	if pb.Format != PlaybookFormat {
		return fmt.Errorf("check playbook: format is %d, and this Muster reads format %d", pb.Format, PlaybookFormat)
	}
	err := pb.hash(func(s *Step, content, merkle Digest) error {
		if s.Digest != content || s.Merkle != merkle {
			return fmt.Errorf("step %q is not what its digest says", s.ID)
		}
		return nil
	}, func(all Digest) error {
		if pb.Digest != all {
			return fmt.Errorf("it is not what its digest %s says", pb.Digest.Short())
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check playbook: %w", err)
	}
	asked := make(map[string]bool, len(pb.Approvals))
	for i := range pb.Approvals {
		a := &pb.Approvals[i]
		if s := pb.Step(a.Step); s == nil || s.Kind != StepApproval || asked[a.Step] {
			return fmt.Errorf("check playbook: approval %q has no approval step of its own", a.Step)
		}
		asked[a.Step] = true
	}
	for i := range pb.Steps {
		s := &pb.Steps[i]
		if s.Kind == StepApproval && !asked[s.ID] {
			return fmt.Errorf("check playbook: approval step %q asks nobody", s.ID)
		}
		if s.ApprovedBy != "" && !asked[s.ApprovedBy] {
			return fmt.Errorf("check playbook: step %q names the approval %q, which is none", s.ID, s.ApprovedBy)
		}
	}
	return nil
}

// Step returns the step with that ID, or nil. It may be called concurrently.
// It is fast once Seal or Check has been called.
func (pb *Playbook) Step(id string) *Step {
	if pb.index != nil {
		if i, ok := pb.index[id]; ok {
			return &pb.Steps[i]
		}
		return nil
	}
	for i := range pb.Steps {
		if pb.Steps[i].ID == id {
			return &pb.Steps[i]
		}
	}
	return nil
}

// hash computes all digests and hands them over, the playbook's own last.
func (pb *Playbook) hash(step func(s *Step, content, merkle Digest) error, all func(Digest) error) error {
	index := make(map[string]int32, len(pb.Steps))
	merkles := make([]Digest, len(pb.Steps))
	approvals := make(map[string]*Approval, len(pb.Approvals))
	for i := range pb.Approvals {
		approvals[pb.Approvals[i].Step] = &pb.Approvals[i]
	}
	var c canon
	var rests []Digest
	for i := range pb.Steps {
		s := &pb.Steps[i]
		if _, twice := index[s.ID]; twice || s.ID == "" {
			return fmt.Errorf("two steps have the ID %q, or it is empty", s.ID)
		}
		rests = rests[:0]
		for k := range s.Needs {
			edge := &s.Needs[k]
			j, ok := index[edge.Step]
			switch {
			case !ok:
				return fmt.Errorf("step %q needs %q, which is no step before it", s.ID, edge.Step)
			case k > 0 && s.Needs[k-1].Step >= edge.Step:
				return fmt.Errorf("the needs of step %q are not sorted, or name %q twice", s.ID, edge.Step)
			case !edge.Order:
				rests = append(rests, merkles[j])
			}
		}
		index[s.ID] = int32(i)
		content := c.content(pb.Environment, s, approvals[s.ID])
		merkles[i] = c.merkle(content, rests)
		if err := step(s, content, merkles[i]); err != nil {
			return err
		}
	}
	if err := all(c.playbook(pb, merkles)); err != nil {
		return err
	}
	pb.index = index
	return nil
}

// canon writes the canonical encoding: every value has a fixed place, numbers
// have eight bytes, and what varies in length is preceded by its length. The
// buffer is used again and again.
type canon struct {
	buf  []byte
	keys []string
}

func (c *canon) begin(domain string) {
	c.buf = c.buf[:0]
	c.text(domain)
}

func (c *canon) number(n int64) { c.buf = binary.BigEndian.AppendUint64(c.buf, uint64(n)) }

func (c *canon) text(s string) {
	c.number(int64(len(s)))
	c.buf = append(c.buf, s...)
}

func (c *canon) flag(b bool) {
	if b {
		c.buf = append(c.buf, 1)
	} else {
		c.buf = append(c.buf, 0)
	}
}

// content is over what a step will do, and for an approval over what it asks.
func (c *canon) content(environment string, s *Step, asks *Approval) Digest {
	c.begin(stepDomain)
	c.text(environment)
	c.text(string(s.Kind))
	c.text(s.Module)
	c.text(s.Target)
	c.text(s.From)
	c.text(s.Version)
	c.text(s.Artifact)
	c.text(s.Deployer)
	c.keys = slices.AppendSeq(c.keys[:0], maps.Keys(s.Params))
	slices.Sort(c.keys)
	c.number(int64(len(c.keys)))
	for _, k := range c.keys {
		c.text(k)
		c.text(s.Params[k])
	}
	c.number(int64(s.Bake))
	c.flag(s.Irreversible)
	c.text(s.ApprovedBy)
	c.flag(asks != nil)
	if asks != nil {
		c.number(int64(len(asks.Rules)))
		for _, r := range asks.Rules {
			c.text(r.Group)
			c.number(int64(r.Count))
		}
		c.flag(asks.Distinct)
		c.flag(asks.ExcludeRequester)
		c.number(int64(asks.ValidFor))
	}
	return sha256.Sum256(c.buf)
}

// merkle is over a step's content and over all that it rests on. It sorts rests.
func (c *canon) merkle(content Digest, rests []Digest) Digest {
	slices.SortFunc(rests, func(a, b Digest) int { return bytes.Compare(a[:], b[:]) })
	c.begin(merkleDomain)
	c.buf = append(c.buf, content[:]...)
	c.number(int64(len(rests)))
	for i := range rests {
		c.buf = append(c.buf, rests[i][:]...)
	}
	return sha256.Sum256(c.buf)
}

// playbook is over what is approved and in which order it happens, whatever the
// order in which the steps are listed.
func (c *canon) playbook(pb *Playbook, merkles []Digest) Digest {
	order := make([]int32, len(pb.Steps))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return strings.Compare(pb.Steps[a].ID, pb.Steps[b].ID) })
	h := sha256.New()
	c.begin(playbookDomain)
	c.text(pb.Environment)
	c.text(string(pb.OnFailure))
	c.flag(pb.AutoRollback)
	c.number(int64(pb.Limit))
	c.flag(pb.RollbackOf != nil)
	if pb.RollbackOf != nil {
		c.buf = append(c.buf, pb.RollbackOf[:]...)
	}
	c.number(int64(len(order)))
	for _, i := range order {
		s := &pb.Steps[i]
		c.text(s.ID)
		c.buf = append(c.buf, merkles[i][:]...)
		c.number(int64(len(s.Needs)))
		for k := range s.Needs {
			c.text(s.Needs[k].Step)
		}
		if len(c.buf) > 32<<10 {
			h.Write(c.buf)
			c.buf = c.buf[:0]
		}
	}
	h.Write(c.buf)
	return Digest(h.Sum(nil))
}
