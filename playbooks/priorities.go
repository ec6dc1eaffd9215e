package playbooks

import "time"

// Priorities says for each step how long the longest chain of steps is that
// begins with it, as far as estimates tell. Under a limit the step with the
// highest priority starts first. The slice runs parallel to Steps.
func (pb *Playbook) Priorities() []time.Duration {
	index := pb.index
	if index == nil {
		index = make(map[string]int32, len(pb.Steps))
		for i := range pb.Steps {
			index[pb.Steps[i].ID] = int32(i)
		}
	}
	after := make([]time.Duration, len(pb.Steps)) // the longest chain behind each step
	for i := len(pb.Steps) - 1; i >= 0; i-- {
		s := &pb.Steps[i]
		after[i] += s.estimate()
		for k := range s.Needs {
			if j, ok := index[s.Needs[k].Step]; ok && int(j) < i {
				after[j] = max(after[j], after[i])
			}
		}
	}
	return after
}

// estimate is how long a step takes as a rule. The figures for steps that nobody has
// estimated only have to be right in proportion.
func (s *Step) estimate() time.Duration {
	if s.Estimate > 0 {
		return s.Estimate
	}
	switch s.Kind {
	case StepMigrate, StepDeploy, StepPromote, StepTest, StepRollback, StepRemove:
		return time.Minute
	case StepCanary, StepPublish:
		return 30 * time.Second
	case StepBake:
		return s.Bake
	}
	return 0
}
