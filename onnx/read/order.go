package read

// ordered are a graph's nodes in an order in which they can run: each behind those that make what it takes. The format
// wants them so, and they stay as they are then, but some tools that change graphs put new nodes last. What runs in a
// circle stays in its order; evaluation says what is missing there.
func ordered(nodes []*node) []*node {
	maker := map[string]int{}
	for i := len(nodes) - 1; i >= 0; i-- {
		for _, name := range nodes[i].out {
			maker[name] = i
		}
	}
	delete(maker, "") // an output that nobody wants
	const fresh, open, done = 0, 1, 2
	state := make([]byte, len(nodes))
	list := make([]*node, 0, len(nodes))
	for i := range nodes {
		for stack := []int{i}; len(stack) > 0; {
			top, ready := stack[len(stack)-1], true
			if state[top] != done {
				state[top] = open
				for _, name := range nodes[top].in {
					if j, ok := maker[name]; ok && state[j] == fresh {
						stack, ready = append(stack, j), false
					}
				}
			}
			if !ready {
				continue
			}
			if stack = stack[:len(stack)-1]; state[top] != done {
				state[top] = done
				list = append(list, nodes[top])
			}
		}
	}
	return list
}
