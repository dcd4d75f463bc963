extends SceneTree
# Prints what Godot made of the files of a project: one line of JSON for each.


func _init():
	var folder = Directory.new()
	folder.open("res://")
	folder.list_dir_begin(true)
	var file = folder.get_next()
	while file != "":
		if file.get_extension() in ["glb", "obj"]:
			var made = load("res://" + file)
			var found = {"file": file, "nodes": []}
			if made is PackedScene:
				describe(made.instance(), Transform(), found["nodes"])
			elif made is Mesh:
				found["nodes"].append(mesh(file.get_basename(), made, Transform()))
			print("found ", to_json(found))
		file = folder.get_next()
	quit()


func describe(node, parent, nodes):
	var place = parent
	if node is Spatial:
		place = parent * node.transform
	if node is MeshInstance:
		nodes.append(mesh(node.name, node.mesh, place))
	elif node is CollisionShape:
		var shape = {"name": node.name, "parent": node.get_parent().name, "type": node.shape.get_class()}
		if node.shape is ConvexPolygonShape:
			shape["points"] = node.shape.points.size()
			var box = AABB(place.xform(node.shape.points[0]), Vector3())
			for point in node.shape.points:
				box = box.expand(place.xform(point))
			shape["low"] = list(box.position)
			shape["high"] = list(box.end)
		nodes.append(shape)
	else:
		nodes.append({"name": node.name, "type": node.get_class()})
	for child in node.get_children():
		describe(child, place, nodes)


func mesh(name, made, place):
	var box = place.xform(made.get_aabb())
	var material = made.surface_get_material(0)
	var found = {"name": name, "type": "MeshInstance", "low": list(box.position), "high": list(box.end)}
	found["vertices"] = made.surface_get_array_len(0)
	if material is SpatialMaterial:
		var texture = material.albedo_texture
		found["texture"] = [texture.get_width(), texture.get_height()] if texture else null
		found["normal_map"] = material.normal_enabled
		found["metallic"] = material.metallic
		found["roughness"] = material.roughness
	return found


func list(vector):
	return [vector.x, vector.y, vector.z]
